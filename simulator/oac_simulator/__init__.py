"""A simulated Oracle Analytics Cloud: identity domain, REST API, MCP and storage bucket in one process.

Run it with `oac-simulator serve` to develop and test against. It follows the published contract and shares no code with
the provider, so the client and the server cannot share a misreading. `docs/simulator.md` says which behavior is
documented, which was observed by others, and which is inferred.
"""

__version__ = "0.1.0"
