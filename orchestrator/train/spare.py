"""Spare processes: what a lost worker is replaced by has loaded its libraries already.

Ray Train ends all workers when one is lost, and has Ray start new processes. A node can be asked to
start some ahead, of the same environment, that hold no resources; Ray then takes those. Each worker
asks for its successor once it trains, and so does the process that controls them.
"""

import threading

WAIT_SECONDS = 10.0
"""From the start of a worker until its spare is asked for: the first steps come first."""
KEEP_SECONDS = 7 * 24 * 3600
"""How long a node keeps a process that nobody uses; all end with their job."""


def ask_later(count: int = 1) -> None:
    """Ask this process's node for processes like this one, a little later, in the background."""
    timer = threading.Timer(WAIT_SECONDS, ask, [count])
    timer.daemon = True
    timer.start()


def ask(count: int) -> None:
    """Ask this process's node to start processes with this one's environment, for its job."""
    import ray
    from ray._private.grpc_utils import init_grpc_channel
    from ray._private.utils import get_runtime_env_info
    from ray._private.worker import global_worker
    from ray.core.generated.common_pb2 import Language
    from ray.core.generated.node_manager_pb2 import PrestartWorkersRequest
    from ray.core.generated.node_manager_pb2_grpc import NodeManagerServiceStub

    context = ray.get_runtime_context()
    environment = get_runtime_env_info(context.runtime_env)
    environment.serialized_runtime_env = context.get_runtime_env_string()
    request = PrestartWorkersRequest(
        language=Language.PYTHON,
        job_id=global_worker.current_job_id.binary(),
        runtime_env_info=environment,
        keep_alive_duration_secs=KEEP_SECONDS,
        num_workers=count,
    )
    node = global_worker.node
    with init_grpc_channel(f"{node.node_ip_address}:{node.node_manager_port}") as channel:
        NodeManagerServiceStub(channel).PrestartWorkers(request, timeout=30)
