"""A client written against nothing but reflection: starts a run, watches it, cancels it, watches its end.

Arguments: address, token or "-", file of the authority or "-". Prints one JSON object.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, token, authority = sys.argv[1:]
if authority == "-":
    channel = grpc.insecure_channel(address)
else:
    with open(authority, "rb") as file:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))


class Authorize(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the token with every call, those of reflection included."""

    def intercept(self, call, details, request):
        metadata = [("authorization", f"Bearer {token}")]
        return call(details._replace(metadata=metadata), request)

    intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = intercept


if token != "-":
    channel = grpc.intercept_channel(channel, Authorize())

database = ProtoReflectionDescriptorDatabase(channel)
pool = descriptor_pool.DescriptorPool(database)
service = pool.FindServiceByName("multistep.v1.TrainingService")


def call(method_name, request, stream=False):
    method = service.methods_by_name[method_name]
    request_class = message_factory.GetMessageClass(method.input_type)
    response_class = message_factory.GetMessageClass(method.output_type)
    make = channel.unary_stream if stream else channel.unary_unary
    stub = make(
        f"/{service.full_name}/{method_name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    return stub(json_format.ParseDict(request, request_class()), timeout=20)


config = {"model": {"name": "lm-resnet-20"}, "dataset": "digits", "epochs": 100000}
sequences = []
events = call("Train", {"config": config}, stream=True)
for answer in events:
    run = answer.event.run
    sequences.append(answer.event.sequence)
    if answer.event.WhichOneof("kind") == "progress":
        break
events.cancel()
call("CancelRun", {"name": run})
state = None
for answer in call("WatchRun", {"name": run, "after_sequence": sequences[-1]}, stream=True):
    sequences.append(answer.event.sequence)
    if answer.event.WhichOneof("kind") == "state_changed":
        state = json_format.MessageToDict(answer.event)["stateChanged"]["state"]
print(json.dumps({"services": sorted(database.get_services()), "sequences": sequences, "state": state}))
