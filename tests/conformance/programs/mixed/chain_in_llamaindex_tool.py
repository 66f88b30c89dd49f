"""A LangChain chain inside the tool of a LlamaIndex agent.

To be seen: one trace; the chain's model call below the tool that runs it.
"""

import asyncio

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tell me", p.Answer(calls=[p.Call("translate", {"text": "tide"}, id="call_1")]))
p.when("Breton", "mare")
p.when("mare", "It is mare.")


def translate(text: str) -> str:
    """Translates."""
    prompt = ChatPromptTemplate.from_template("{text} in Breton")
    chain = prompt | ChatOpenAI(model="gpt-4o") | StrOutputParser()
    return chain.invoke({"text": text}, p.config(run_name="chain"))


async def run() -> None:
    tools = [FunctionTool.from_defaults(translate)]
    agent = FunctionAgent(name="linguist", description="knows", tools=tools, llm=OpenAI(model="gpt-4o-mini"))
    assert str(await agent.run("tell me")) == "It is mare."


def main() -> None:
    asyncio.run(run())
