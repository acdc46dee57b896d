#!/bin/sh
# The user that hands and its commands are, and what it may write to besides volumes.
set -eu
echo 'agent:x:65532:65532:Serverless Harness:/home/agent:/bin/bash' >>/etc/passwd
echo 'agent:x:65532:' >>/etc/group
install -d -o 65532 -g 65532 -m 0700 /home/agent /var/lib/hands /var/lib/hands/workspaces /var/lib/hands/state
