#!/bin/bash
# What many a release server runs from cron, with the weaknesses that such scripts have:
#
#     BASE=/mnt/dfs publish.sh
#
# gapless does not need it; the two can stand side by side.
stamp=$(date +%Y%m%d%H%M%S)
upload=$BASE/src/example.tar.gz
dist=$BASE/dist
release=$dist/example-$stamp
[ -f "$upload" ] || exit 0
before=$(wc -c < "$upload")
sleep 1
[ "$before" = "$(wc -c < "$upload")" ] || exit 0 # it is being written still
mv "$upload" "$dist"
tar -xf "$dist/example.tar.gz" --directory="$dist"
mv "$dist/example" "$release"
cd "$release" && npm install
ln -sfn "$release" "$dist/example"
echo "$stamp" > "$release/RELEASE"
rm -f "$dist/example.tar.gz"
