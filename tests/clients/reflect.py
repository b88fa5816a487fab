"""What a generic gRPC tool does: asks the node for its schemas, then calls a method it has never seen before."""

import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

channel = grpc.insecure_channel(sys.argv[1])
database = ProtoReflectionDescriptorDatabase(channel)
services = sorted(database.get_services())
pool = DescriptorPool(database)
method = pool.FindServiceByName("emissions.v10.QueryService").FindMethodByName("GetTopic")
request = GetMessageClass(method.input_type)(topic_id=1)
call = channel.unary_unary(
    "/emissions.v10.QueryService/GetTopic",
    request_serializer=lambda message: message.SerializeToString(),
    response_deserializer=GetMessageClass(method.output_type).FromString,
)
topic = json_format.MessageToDict(call(request))["topic"]
health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
result = {"services": len(services), "topic": topic.get("id"), "serving": health == b"\x08\x01"}
result["ok"] = "emissions.v10.QueryService" in services and topic["id"] == "1" and result["serving"]
print(json.dumps(result))
sys.exit(0 if result["ok"] else 1)
