"""What a run is called, what kind of step it is, and which of its tags and metadata are the user's."""

from __future__ import annotations

from typing import Any

__all__ = ["agent_of", "attributes_of", "conversation_of", "is_hidden", "is_node", "name_of", "outcome_of", "tags_of"]

#: Runs that LangChain and LangGraph mark as not worth showing.
_HIDDEN_TAG = "langsmith:hidden"
#: Tags by which the frameworks number their steps.
_STEP_TAGS = ("seq:step:", "graph:step:", "map:key:", "retry:attempt:", "langsmith:")
_ATTEMPT_TAG = "retry:attempt:"
_NODE_TAG = "graph:step:"

#: Metadata that the frameworks add for tracers and checkpoints.
_INTERNAL_METADATA = ("ls_", "lc_", "langgraph_", "langsmith_", "checkpoint_", "__")
_INTERNAL_NAMES = frozenset(
    {"thread_id", "session_id", "conversation_id", "user_id", "run_id", "run_attempt", "revision_id"}
)
#: Where a LangGraph node's place in the graph goes.
_NODE_ATTRIBUTES = {
    "langgraph_node": "langgraph.node",
    "langgraph_step": "langgraph.step",
    "langgraph_triggers": "langgraph.triggers",
}
#: Metadata that names the agent of a run and of all runs below it: `create_agent` writes the first, users the others.
_AGENT_NAMES = ("lc_agent_name", "agent_name", "agent.name")
#: Metadata that tells an agent from other runs without naming it.
_AGENT_MARKS = ("ls_agent_type", "agent.role")
#: Agents that carry their class's name and no metadata.
_AGENT_CLASSES = frozenset({"AgentExecutor"})

#: What `create_agent` says of its graphs, named or not.
_CREATE_AGENT = "langchain_create_agent"

_INTERRUPTED = frozenset({"GraphBubbleUp", "GraphInterrupt", "NodeInterrupt", "GraphDrained"})
_CANCELLED = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt"})


def name_of(serialized: Any, name: Any, fallback: str) -> str:
    """The run name given by the user or the framework, else the class's."""
    if isinstance(name, str) and name:
        return name
    if isinstance(serialized, dict):
        own = serialized.get("name")
        if isinstance(own, str) and own:
            return own
        path = serialized.get("id")
        if isinstance(path, list | tuple) and path:
            return str(path[-1])
    return fallback


def is_hidden(tags: Any) -> bool:
    """Whether the framework asks tracers not to show the run."""
    return bool(tags) and _HIDDEN_TAG in tags


def is_node(tags: Any) -> bool:
    """Whether the run is a node of a LangGraph graph."""
    return any(isinstance(tag, str) and tag.startswith(_NODE_TAG) for tag in tags or ())


def agent_of(
    name: str, tags: Any, metadata: dict[str, Any], above: dict[str, Any], agent: str | None
) -> tuple[str | None, bool]:
    """The agent in whose turn the run takes place, and whether the run is that turn itself.

    Metadata is inherited by every run below, so it says "this is an agent" only where it differs from that of the run
    above; an agent that calls itself is told by its name. A node is never the agent: it may share the name of the agent
    that it runs.

    Args:
        name: The run's name.
        tags: The run's tags.
        metadata: The run's metadata.
        above: The metadata of the run above.
        agent: The agent of the run above.
    """
    if is_node(tags):
        return agent, False
    for key in _AGENT_NAMES:
        label = metadata.get(key)
        if isinstance(label, str) and label:
            return label, label != above.get(key) or label == name
    marked = any(metadata.get(key) and metadata[key] != above.get(key) for key in _AGENT_MARKS)
    created = metadata.get("ls_integration") == _CREATE_AGENT != above.get("ls_integration")
    return (name, True) if marked or created or name in _AGENT_CLASSES else (agent, False)


def tags_of(tags: Any) -> tuple[str, ...]:
    """The user's tags, of any shape, without the frameworks' step marks."""
    if not isinstance(tags, list | tuple | set):
        return ()
    return tuple(tag for tag in map(str, tags) if not tag.startswith(_STEP_TAGS))


def conversation_of(metadata: dict[str, Any]) -> str | None:
    """The conversation a run belongs to, when the application names one."""
    for key in ("session_id", "thread_id", "conversation_id"):
        value = metadata.get(key)
        if value is not None and value != "":
            return str(value)
    return None


def attributes_of(tags: Any, metadata: Mapping[Any, Any], above: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Attributes from the metadata: the user's pairs where they first appear, the conversation and user everywhere."""
    attributes: dict[str, Any] = {}
    for key, value in metadata.items():
        if not isinstance(key, str):
            key = str(key)
        if key.startswith(_INTERNAL_METADATA) or key in _INTERNAL_NAMES:
            continue
        if above is not None and above.get(key, attributes) is value:
            continue
        attributes[key] = value
    if is_node(tags):
        for key, attribute in _NODE_ATTRIBUTES.items():
            if key in metadata:
                attributes[attribute] = metadata[key]
    for tag in tags or ():
        if isinstance(tag, str) and tag.startswith(_ATTEMPT_TAG) and tag[len(_ATTEMPT_TAG) :].isdigit():
            attributes["ironspan.attempt"] = int(tag[len(_ATTEMPT_TAG) :])
    if (conversation := conversation_of(metadata)) is not None:
        attributes["session.id"] = attributes["gen_ai.conversation.id"] = conversation
    if (user := metadata.get("user_id")) is not None:
        attributes["user.id"] = str(user)
    return attributes


def outcome_of(error: Any) -> str:
    """How a run ended that ended with `error`: ``error``, ``cancelled``, ``interrupted`` or ``ok``.

    LangGraph steers with exceptions: a pause for a human is no failure, and a command to the parent graph is how a
    subgraph hands over. They are told by class name, so that LangGraph need not be installed.
    """
    names = {base.__name__ for base in type(error).__mro__}
    if "ParentCommand" in names:
        return "ok"
    if names & _INTERRUPTED:
        return "interrupted"
    return "cancelled" if names & _CANCELLED else "error"
