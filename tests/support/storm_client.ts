/** Run as a process of its own: makes 300 calls at once and closes its channel. Arguments: the address, how often (10). */
import { GrpcClient } from "./grpc_client.ts";

const [address, rounds = "10"] = Deno.args;
for (let round = 0; round < Number(rounds); round++) {
  using client = new GrpcClient(address);
  const calls = Array.from({ length: 300 }, () => client.unary("CatalogService/GetServerInfo"));
  const { length } = (await Promise.all(calls)).filter((answer) => answer !== undefined);
  if (length !== 300) Deno.exit(1);
}
// And once without waiting for the answers.
{
  using client = new GrpcClient(address);
  for (let i = 0; i < 300; i++) client.unary("CatalogService/GetServerInfo").catch(() => {});
  await client.unary("CatalogService/GetServerInfo");
}
Deno.exit(0);
