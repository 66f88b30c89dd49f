"""The demo's team made of LangChain's parts: every span but the first and the judge's comes from the callback handler.

Needs langchain-core; the models follow the same script as those of ``_workflow``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ironspan
from ironspan.demo import _script as script
from ironspan.demo._model import Reply, tokens
from ironspan.demo._tools import Web, execute, nearest, vector
from ironspan.demo._workflow import Finished, Job, judged

# First what says in a sentence that the framework is missing.
from ironspan.langchain import CallbackHandler  # isort: skip
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool

__all__ = ["run"]


class Scripted(BaseChatModel):
    """Says one reply, after a while."""

    model_name: str
    reply: Any
    seconds: float
    pace: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {
            **super()._get_ls_params(stop=stop, **kwargs),
            "ls_provider": "openai",
            "ls_model_name": self.model_name,
        }

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        self.pace.wait(self.seconds)
        reply: Reply = self.reply
        sent, told = sum(tokens(str(message.content)) + 3 for message in messages), reply.tokens()
        calls = [
            {"id": call["id"], "name": call["function"]["name"], "args": json.loads(call["function"]["arguments"])}
            for call in reply.calls
        ]
        message = AIMessage(
            content=reply.text,
            tool_calls=calls,
            usage_metadata=UsageMetadata(input_tokens=sent, output_tokens=told, total_tokens=sent + told),
            response_metadata={"model_name": self.model_name, "finish_reason": "tool_calls" if calls else "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


class Notes(BaseRetriever):
    """The notes, by vector search."""

    pace: Any

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        self.pace.wait(0.36)
        return [
            Document(id=found["id"], page_content=found["content"], metadata={"score": found["score"]})
            for found in nearest(vector(query), 4)
        ]


def _turn(name: str) -> RunnableConfig:
    """What makes a run an agent's turn. Given at the call: metadata from above beats that of `with_config`."""
    return {"run_name": name, "metadata": {"agent_name": name}}


def _model(name: str, job: Job, model: str, reply: Reply, seconds: float) -> Runnable[Any, Any]:
    scripted = Scripted(model_name=model, reply=reply, seconds=seconds, pace=job.pace)
    return scripted.with_config(run_name=name)


def _researcher(job: Job) -> Callable[[str], str]:
    web = Web()

    @tool
    def web_search(query: str) -> list[dict[str, str]]:
        """Search the web and return titles and snippets."""
        return web.search(job.pace)

    def work(task: str) -> str:
        notes = Notes(pace=job.pace).with_config(run_name="vector_search").invoke(task)
        # LangChain retries by itself what it is told to, and waits in between; here it need not.
        found = web_search.with_retry(
            retry_if_exception_type=(TimeoutError,), wait_exponential_jitter=False, stop_after_attempt=3
        ).invoke({"query": script.WEB_QUERY})
        told = json.dumps({"notes": [note.page_content for note in notes], "web": found}, indent=1)
        asked = [SystemMessage(script.RESEARCHER), HumanMessage(task), HumanMessage(told)]
        return str(_model("summarise", job, "gpt-4o-mini", Reply(script.FACTS), 1.69).invoke(asked).content)

    return work


def _coder(job: Job) -> Callable[[str], str]:
    @tool
    def run_python(code: str) -> str:
        """Run a Python program and return what it prints."""
        job.pace.wait(1.3)
        return execute(code)

    def work(task: str) -> str:
        asked: list[BaseMessage] = [SystemMessage(script.CODER), HumanMessage(task)]
        first = _model("write_code", job, "gpt-4o", script.written(), 2.45).invoke(asked)
        try:
            return str(run_python.invoke(first.tool_calls[0]["args"]))
        except ModuleNotFoundError as error:
            result = ToolMessage(f"ModuleNotFoundError: {error}", tool_call_id=first.tool_calls[0]["id"])
            repair = _model("fix_code", job, "gpt-4o", script.repaired(job.fail_hard), 0.98)
            fixed = repair.invoke([*asked, first, result])
            return str(run_python.invoke(fixed.tool_calls[0]["args"]))

    return work


def _side_by_side(job: Job, tasks: dict[str, str]) -> dict[str, str]:
    workers = {"researcher": _researcher(job), "coder": _coder(job)}
    with ContextThreadPoolExecutor(max_workers=len(workers)) as threads:
        turns = {
            name: threads.submit(RunnableLambda(worker).invoke, tasks[name], _turn(name))
            for name, worker in workers.items()
        }
        return {name: turn.result() for name, turn in turns.items()}


def _manager(job: Job, scores: list[float]) -> Callable[[str], str]:
    def work(question: str) -> str:
        asked: list[BaseMessage] = [SystemMessage(script.MANAGER), HumanMessage(question)]
        plan = _model("plan", job, "gpt-4o", Reply(script.PLAN, script.DELEGATIONS), 1.18).invoke(asked)
        said = _side_by_side(job, {call["args"]["worker"]: call["args"]["task"] for call in plan.tool_calls})
        results = [ToolMessage(said[call["args"]["worker"]], tool_call_id=call["id"]) for call in plan.tool_calls]
        last = _model("synthesise", job, "gpt-4o", Reply(script.answer(said["coder"])), 1.54)
        answer = str(last.invoke([*asked, plan, *results]).content)
        scores.append(judged(job, answer, list(said.values())))
        return answer

    return work


def run(job: Job) -> Finished:
    """Runs the team once, as one trace."""
    span = ironspan.workflow("support_workflow", input=job.question, tags=["demo", "langchain"])
    scores: list[float] = []
    try:
        with ironspan.scope(session=job.session, user=job.user), span:
            config: RunnableConfig = {"callbacks": [CallbackHandler()], **_turn("manager")}
            answer = RunnableLambda(_manager(job, scores)).invoke(job.question, config)
            span.output(answer)
    except Exception as error:
        return Finished(span.trace_id, error=error)
    return Finished(span.trace_id, answer, scores[0])
