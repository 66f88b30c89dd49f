"""The demo's team made of LlamaIndex's agents: every span but the first and the judge's is LlamaIndex's own.

The manager hands over to the researcher, who hands over to the coder, who answers. Needs llama-index-core; the models
follow the same script as those of ``_workflow``. A tool that fails is a message for the model in LlamaIndex, so the
search is called again by the model and not by a loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import ironspan
from ironspan.demo import _script as script
from ironspan.demo._model import tokens
from ironspan.demo._tools import Web, execute, nearest, vector
from ironspan.demo._workflow import Finished, Job, judged

# First what says in a sentence that the framework is missing.
from ironspan import llamaindex  # isort: skip
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

__all__ = ["run"]


class Scripted(FunctionCallingLLM):
    """Says the next of its lines at each call: a text, or a tool's name with arguments.

    A line may be a function: of the result of the tool that was called last.
    """

    model: str
    lines: list[Any]
    seconds: float
    pace: Any

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex asks of a model: its name, and that it calls tools."""
        return LLMMetadata(model_name=self.model, is_function_calling_model=True)

    def _next(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        self.pace.wait(self.seconds)
        line = self.lines.pop(0)
        if callable(line):
            line = line(messages[-1].content or "")
        text, calls = (line, []) if isinstance(line, str) else ("", [line])
        usage = {
            "prompt_tokens": sum(tokens(message.content or "") + 3 for message in messages),
            "completion_tokens": tokens(line),
        }
        kwargs = {"tool_calls": calls} if calls else {}
        message = ChatMessage(role="assistant", content=text, additional_kwargs=kwargs)
        return ChatResponse(message=message, raw={"model": self.model, "usage": usage})

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The next line."""
        return self._next(messages)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The next line, from a thread: the loop goes on meanwhile."""
        return await asyncio.to_thread(self._next, messages)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The next line, whole."""

        def stream() -> Iterator[ChatResponse]:
            said = self._next(messages)
            yield said.model_copy(update={"delta": said.message.content or ""})

        return stream()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        """The next line, whole."""

        async def stream() -> AsyncIterator[ChatResponse]:
            said = await asyncio.to_thread(self._next, messages)
            yield said.model_copy(update={"delta": said.message.content or ""})

        return stream()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The next line, for a prompt."""
        said = self._next([ChatMessage(content=prompt)])
        return CompletionResponse(text=said.message.content or "", raw=said.raw)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The same."""
        said: CompletionResponse = self.complete(prompt, formatted, **kwargs)
        return said

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The same, in one piece."""
        return iter([self.complete(prompt, formatted, **kwargs)])

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        """The same, in one piece."""

        async def stream() -> AsyncIterator[CompletionResponse]:
            yield self.complete(prompt, formatted, **kwargs)

        return stream()

    # What `FunctionAgent` asks of a model.

    def _prepare_chat_with_tools(
        self, tools: Sequence[Any], *args: Any, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {"messages": list(chat_history or []), "tools": [tool.metadata.to_openai_tool() for tool in tools]}

    def get_tool_calls_from_response(self, response: ChatResponse, *args: Any, **kwargs: Any) -> list[ToolSelection]:
        """The calls of an answer."""
        calls = response.message.additional_kwargs.get("tool_calls", [])
        return [
            ToolSelection(tool_id=call["id"], tool_name=call["name"], tool_kwargs=call["arguments"]) for call in calls
        ]


def _call(number: int, name: str, **arguments: object) -> dict[str, Any]:
    return {"id": f"call_{name}_{number}", "name": name, "arguments": arguments}


def _team(job: Job, heard: dict[str, str]) -> AgentWorkflow:
    web = Web()

    def search_notes(question: str) -> list[str]:
        """Search the notes; returns the nearest ones."""
        job.pace.wait(0.36)
        return [found["content"] for found in nearest(vector(question), 4)]

    def web_search(query: str) -> list[dict[str, str]]:
        """Search the web; returns titles and snippets."""
        return web.search(job.pace)

    def run_python(code: str) -> str:
        """Run a Python program; returns what it prints."""
        job.pace.wait(1.3)
        heard["measured"] = execute(code)
        return heard["measured"]

    def tools(*functions: Any) -> list[Any]:
        return [FunctionTool.from_defaults(fn=function) for function in functions]

    task = script.TASKS["researcher"]
    repaired = script.repaired(job.fail_hard).calls[0]["function"]["arguments"]
    manager = FunctionAgent(
        name="manager",
        description="plans and delegates",
        system_prompt=script.MANAGER,
        llm=Scripted(
            model="gpt-4o",
            seconds=1.18,
            pace=job.pace,
            lines=[_call(1, "handoff", to_agent="researcher", reason=task)],
        ),
        can_handoff_to=["researcher"],
    )
    researcher = FunctionAgent(
        name="researcher",
        description="finds facts",
        system_prompt=script.RESEARCHER,
        tools=tools(search_notes, web_search),
        llm=Scripted(
            model="gpt-4o-mini",
            seconds=0.6,
            pace=job.pace,
            lines=[
                _call(1, "search_notes", question=task),
                *(_call(number, "web_search", query=script.WEB_QUERY) for number in (1, 2, 3)),
                _call(2, "handoff", to_agent="coder", reason=script.FACTS),
            ],
        ),
        can_handoff_to=["coder"],
    )
    coder = FunctionAgent(
        name="coder",
        description="writes and runs programs, answers",
        system_prompt=script.CODER,
        tools=tools(run_python),
        llm=Scripted(
            model="gpt-4o",
            seconds=1.4,
            pace=job.pace,
            lines=[
                _call(1, "run_python", code=script.PROGRAM),
                {"id": "call_run_python_2", "name": "run_python", "arguments": script.arguments(repaired)},
                lambda _: script.answer(heard["measured"]) if "measured" in heard else script.GIVEN_UP,
            ],
        ),
    )
    return AgentWorkflow(agents=[manager, researcher, coder], root_agent="manager")


async def _ask(team: AgentWorkflow, question: str) -> str:
    return str(await team.run(question))


def run(job: Job) -> Finished:
    """Runs the team once, as one trace."""
    llamaindex.instrument()
    span = ironspan.workflow("support_workflow", input=job.question, tags=["demo", "llamaindex"])
    heard: dict[str, str] = {}
    try:
        with ironspan.scope(session=job.session, user=job.user), span:
            answer = asyncio.run(_ask(_team(job, heard), job.question))
            if "measured" not in heard:
                raise RuntimeError(answer)
            score = judged(job, answer, [script.FACTS, heard["measured"]])
            span.output(answer)
    except Exception as error:
        return Finished(span.trace_id, error=error)
    finally:
        llamaindex.uninstrument()
    return Finished(span.trace_id, answer, score)
