"""rpc.py serve PORT: a gRPC service without a TERM handler. rpc.py ask PORT EARLIER CALLS SECONDS: so many calls at
once on one channel, after some earlier ones; with 0 calls the channel stays idle, with keepalive pings."""
import concurrent.futures
import sys
import time

import grpc


def serve(port):
    def work(request, context):
        time.sleep(float(request))
        return b"answer"
    handler = grpc.method_handlers_generic_handler("work.Work", {"Do": grpc.unary_unary_rpc_method_handler(work)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(20), options=[
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 100), ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1)])
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def ask(port, earlier, calls, seconds):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
        ("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0), ("grpc.enable_retries", 0)])
    do = channel.unary_unary("/work.Work/Do")
    for _ in range(int(earlier)):
        do(b"0", wait_for_ready=True)
    if not int(earlier):
        grpc.channel_ready_future(channel).result(20)
    sent = [do.future(seconds.encode()) for _ in range(int(calls))]
    time.sleep(0.1)
    print("ready", flush=True)
    for one in sent:
        try:
            print("ok" if one.result() == b"answer" else "failed", flush=True)
        except grpc.RpcError as error:
            print(f"failed {error.code()}", flush=True)
    time.sleep(100)


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
