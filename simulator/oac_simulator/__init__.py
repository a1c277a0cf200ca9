"""A simulated Oracle Analytics Cloud: identity domain, REST API, MCP and storage bucket in one process.

It is a program to develop and test against (`oac-simulator serve`), written from the published contract alone. It
shares no code with the provider, so a misreading in the client cannot hide behind the same misreading in the server.
`docs/simulator.md` says which behavior is documented, which was observed by others, and which is inferred.
"""

__version__ = "0.1.0"
