"""An index of two documents, and a question to it: the provider's embeddings and model, asked once each.

To be seen: the texts that were embedded, the retrieval with its query, documents and embedding, and the answer.
"""

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tide tables", p.Answer("Twice a day.", usage=p.Usage(input=60, output=4)))


def main() -> None:
    with p.span("harbour"):
        documents = [Document(text=f"tide tables of {place}") for place in ("Bergen", "Brest")]
        index = VectorStoreIndex.from_documents(documents, embed_model=OpenAIEmbedding(model="text-embedding-3-small"))
        engine = index.as_query_engine(llm=OpenAI(model="gpt-4o-mini"))
        assert str(engine.query("When is high tide?")) == "Twice a day."
