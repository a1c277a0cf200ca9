"""OAC's MCP endpoint, `/api/mcp`: JSON-RPC over HTTP, with Logical SQL over seeded data."""
