#!/usr/bin/env bash
# An application that signs in to nothing: it asks HOST PORT PATH over plain HTTP, prints the answer, and fails unless it is a 200.
set -euo pipefail
exec 3<>"/dev/tcp/$1/$2"
printf 'GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$3" "$1" "$2" >&3
answer=$(tr -d '\r' <&3)
printf '%s\n' "$answer"
[[ $answer == 'HTTP/1.1 200 '* ]]
