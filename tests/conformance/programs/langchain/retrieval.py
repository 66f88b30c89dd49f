"""A retriever over a vector store, its documents put into a prompt, and a model.

To be seen: the retrieval with its query and both documents, and the generation that was given them.
"""

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.conformance import program as p

p.when("tide tables", p.Answer("Twice a day.", usage=p.Usage(input=60, output=4)))


def main() -> None:
    store = InMemoryVectorStore(OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False))
    texts = ("tide tables of Bergen", "tide tables of Brest", "recipes with quince")
    store.add_documents([Document(text, metadata={"page": page}) for page, text in enumerate(texts)])
    retriever = store.as_retriever(search_kwargs={"k": 2}).with_config(run_name="library")
    prompt = ChatPromptTemplate.from_template("Use {context} to answer: {question}")
    chain = (
        {"context": retriever, "question": RunnablePassthrough()}
        | prompt
        | ChatOpenAI(model="gpt-4o-mini")
        | StrOutputParser()
    )
    assert chain.invoke("tide tables of where?", p.config(run_name="harbour")) == "Twice a day."
