"""Programs of others that tests start: etcd, sshd, nginx and HAProxy."""

from __future__ import annotations
