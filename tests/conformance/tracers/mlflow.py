"""MLflow, exporting by OTLP, with its autologging of LangChain and LlamaIndex."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["start"]


class _MLflow:
    def callbacks(self) -> list[Any]:
        return []

    def handlers(self) -> list[Any]:
        from mlflow.langchain.langchain_tracer import MlflowLangchainTracer

        return [MlflowLangchainTracer()]

    def span(self, name: str) -> AbstractContextManager[Any]:
        import mlflow

        return mlflow.start_span(name)

    def traced(self, name: str) -> Callable[[Any], Any]:
        import mlflow

        return mlflow.trace(name=name)

    def agent(self, name: str) -> AbstractContextManager[Any]:
        import mlflow

        return mlflow.start_span(name, span_type="AGENT")

    def flush(self) -> None:
        import mlflow

        mlflow.flush_trace_async_logging()


def start(endpoint: str) -> _MLflow:
    os.environ.update(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{endpoint}/v1/traces",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
    )
    import mlflow

    mlflow.langchain.autolog()
    mlflow.llama_index.autolog()
    return _MLflow()
