"""The peak of the activations against a simulation that allocates and frees, step by step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from complexity.activation_memory import Peak, find_peak, live_bytes
from complexity.operations import Graph, Node


@st.composite
def graphs(draw):
    """Random graphs of up to nine operations, each with one output and one or two inputs."""
    count = draw(st.integers(1, 9))
    tensors, sizes, nodes = ["x"], {"x": draw(st.integers(1, 5))}, []
    for step in range(count):
        inputs = tuple(draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2, unique=True)))
        reuse = draw(st.sampled_from(["none", "view", "in_place"]))
        name = f"t{step}"
        sizes[name] = sizes[inputs[0]] if reuse == "view" else draw(st.integers(1, 5))
        nodes.append(Node(f"n{step}", "op", inputs, (name,), (1,), reuse=reuse))
        tensors.append(name)
    outputs = tuple(draw(st.lists(st.sampled_from(tensors[1:]), min_size=1, max_size=2, unique=True)))
    return Graph(tuple(nodes), sizes, ("x",), outputs)


def simulate(graph):
    """Bytes alive at each step: memory blocks are sets of tensors, freed when none is needed any more."""
    blocks = [{"tensors": {"x"}, "size": graph.sizes["x"], "given": True}]
    alive = []
    for step, node in enumerate(graph.nodes):
        later = {t for other in graph.nodes[step + 1 :] for t in other.inputs} | set(graph.outputs)
        block_of = {t: block for block in blocks for t in block["tensors"]}
        target = None
        if node.reuse == "view":
            target = block_of[node.inputs[0]]
        elif node.reuse == "in_place":
            for name in node.inputs:
                block = block_of[name]
                fits = block["size"] == graph.sizes[node.outputs[0]] and not block["given"]
                if fits and not block["tensors"] & later:
                    target = block
                    break
        if target is None:
            target = {"tensors": set(), "size": graph.sizes[node.outputs[0]], "given": False}
            blocks.append(target)
        target["tensors"].add(node.outputs[0])
        alive.append(sum(block["size"] for block in blocks))
        blocks = [block for block in blocks if block["tensors"] & later]
    return alive


@given(graphs())
def test_liveness_equals_a_brute_force_simulation(graph):
    assert live_bytes(graph) == simulate(graph)
    assert find_peak(graph).bytes == max(simulate(graph))


@given(graphs())
def test_the_peak_names_what_lives(graph):
    peak = find_peak(graph)
    assert sum(size for _, size in peak.tensors) == peak.bytes
    assert peak.node in {node.name for node in graph.nodes}


def test_a_residual_block_peaks_where_three_tensors_live():
    nodes = (
        Node("expand", "Conv", ("x",), ("wide",), (1,)),
        Node("act", "Relu", ("wide",), ("wide2",), (1,), reuse="in_place"),
        Node("depthwise", "Conv", ("wide2",), ("wide3",), (1,)),
        Node("project", "Conv", ("wide3",), ("y",), (1,)),
        Node("add", "Add", ("y", "x"), ("z",), (1,), reuse="in_place"),
    )
    sizes = {"x": 10, "wide": 30, "wide2": 30, "wide3": 30, "y": 10, "z": 10}
    peak = find_peak(Graph(nodes, sizes, ("x",), ("z",)))
    assert peak == Peak(70, "depthwise", (("wide", 30), ("wide3", 30), ("x", 10)))


def test_an_empty_graph_has_no_peak():
    assert find_peak(Graph((), {}, (), ())) == Peak(0, "", ())
