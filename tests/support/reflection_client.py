"""A client written against nothing but reflection: starts a run, watches, pauses, exports, resumes and cancels it.

Arguments: address, token or "-", file of the authority or "-". Prints one JSON object.
"""

import hashlib
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


def watch(events, until):
    """Reads events until one has the state, or is of the kind."""
    for answer in events:
        if not answer.HasField("event"):
            continue
        sequences.append(answer.event.sequence)
        event = json_format.MessageToDict(answer.event)
        if until in event or event.get("stateChanged", {}).get("state") == until:
            break
    events.cancel()
    return answer.event.run


def watch_on(until):
    watch(call("WatchRun", {"name": run, "after_sequence": sequences[-1]}, stream=True), until)


run = watch(call("Train", {"config": config}, stream=True), "progress")
call("PauseRun", {"name": run})
watch_on("RUN_STATE_PAUSED")
first = call("ExportModel", {"name": run, "limit": 1})
rest = call("ExportModel", {"name": run, "path": first.checkpoint.path, "offset": 1})
exported = first.data + rest.data
call("ResumeRun", {"name": run})
watch_on("RUN_STATE_RUNNING")
call("CancelRun", {"name": run})
watch_on("RUN_STATE_CANCELLED")
listed = call("ListRunEvents", {"name": run, "page_size": 1000})

print(json.dumps({
    "services": sorted(database.get_services()),
    "sequences": sequences,
    "listed": listed.last_sequence,
    "exported": hashlib.sha256(exported).hexdigest() == first.sha256 and len(exported) == first.total_bytes,
    "state": json_format.MessageToDict(call("GetRun", {"name": run}))["run"]["state"],
}))
