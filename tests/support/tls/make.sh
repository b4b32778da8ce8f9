#!/bin/sh
# Makes the certificates of the tests: an authority, servers for localhost and 127.0.0.1, a client, and a client of a
# stranger. They are nobody's secret and valid for a hundred years.
set -eu
cd "$(dirname "$0")"
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -keyout "$1.key" -out "$1.pem" \
    -subj "/CN=$1"
}
signed() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 36500 -extfile "$1.ext" -out "$1.pem"
  rm "$1.csr" "$1.ext"
}
authority authority
authority stranger
signed server authority
signed renewed authority
signed client authority
signed stranger-client stranger
rm -f authority.key stranger.key ./*.srl
