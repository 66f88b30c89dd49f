"""A document is cut into nodes, titled by the model, and embedded.

To be seen: the model call of the titles, and one embedding, below the span around.
"""

from llama_index.core import Document
from llama_index.core.extractors import SummaryExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

from tests.conformance import program as p

p.when("tides of Brest", "About tides.")


def main() -> None:
    summaries = SummaryExtractor(llm=OpenAI(model="gpt-4o-mini"), show_progress=False)
    steps = [SentenceSplitter(), summaries, OpenAIEmbedding(model="text-embedding-3-small")]
    with p.span("library"):
        (node,) = IngestionPipeline(transformations=steps).run(documents=[Document(text="The tides of Brest.")])
    assert node.metadata["section_summary"] == "About tides."
    assert node.embedding
