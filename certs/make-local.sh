#!/bin/sh
# Makes a self-signed certificate for localhost beside this file: local.pem and local.key, for 30 days.
set -eu
cd "$(dirname "$0")"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -sha256 \
    -subj "/CN=localhost" \
    -addext "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1" \
    -keyout local.key -out local.pem 2>/dev/null
echo "made $(pwd)/local.pem and $(pwd)/local.key, for localhost, *.localhost, 127.0.0.1 and ::1"
