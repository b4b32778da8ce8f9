#!/bin/sh
# Generates gen/ from the proto files of connectrpc.com/conformance (Apache-2.0), as Go's module cache has them.
set -eu
version=v1.0.7
cd "$(dirname "$0")/../.."
protos=$(go mod download -json "connectrpc.com/conformance@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/proto
template='{"version":"v2","clean":true,"plugins":[{"local":["deno","run","--allow-env","--allow-read","npm:@bufbuild/protoc-gen-es"],"out":"tests/conformance/gen","opt":["target=ts","import_extension=ts"]}]}'
./multistep deno run -A npm:@bufbuild/buf generate "$protos" --template "$template" \
  --path "$protos/connectrpc/conformance/v1/service.proto" \
  --path "$protos/connectrpc/conformance/v1/config.proto" \
  --path "$protos/connectrpc/conformance/v1/server_compat.proto"
