"""Model providers on loopback, which speak the protocols of OpenAI and Anthropic and answer what is scripted."""
