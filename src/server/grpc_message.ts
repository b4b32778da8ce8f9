/**
 * A status's text as gRPC's HTTP/2 mapping wants it in `grpc-message`: UTF-8, with all but printable ASCII, and the
 * percent sign, escaped.
 */
export function encodeGrpcMessage(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte) => {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    return isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}
