#!/bin/bash
# What many an app server runs from cron: restart if the release is newer than the start.
#
#     APP=/var/www/example STAMP=/var/www/EXAMPLE_RESTART restart.sh
started=0
[ -f "$STAMP" ] && read -r started < "$STAMP"
read -r released < "$APP/RELEASE"
[ "$released" -lt "$started" ] && exit 0
cd "$APP" && npm run restart
date +%Y%m%d%H%M%S > "$STAMP"
