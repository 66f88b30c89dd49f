"""The Collector of the tests: what it is built from and how it runs. `tests.support.collector` starts it."""
