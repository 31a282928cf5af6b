"""How many GPUs a Ray head started on this machine would have."""


def count() -> int:
    """Count the visible GPUs of any vendor, as Ray does when it starts."""
    from ray._private.accelerators import get_accelerator_manager_for_resource

    maker = get_accelerator_manager_for_resource("GPU")
    found = int(maker.get_current_node_num_accelerators())
    visible = maker.get_current_process_visible_accelerator_ids()
    return found if visible is None else min(found, len(visible))
