"""The first page: where things are, for whoever opens the gateway's address in a browser. No script, nothing from elsewhere."""

import base64
import hashlib
from html import escape

PLACES = {
    "requests": "/api/kam/requests",
    "orders": "/api/kam/orders",
    "batches": "/api/kam/batches",
    "schedules": "/api/kam/schedules",
    "sources": "/api/kam/sources",
    "templates": "/api/kam/templates",
    "pipelines": "/api/v1/ai/pipelines",
    "stored_pipelines": "/api/kam/pipelines",
    "keys": "/api/kam/keys",
    "workers": "/api/kam/workers",
    "worker_insights": "/worker-insights",
    "health": "/health",
    "metrics": "/metrics",
    "api": "/schema",
    "api_page": "/docs",
    "channels": "/schema/asyncapi.json",
}

_OPEN = (
    ("/health", "Is the gateway well, and what it stands on"),
    ("/docs", "Every route, its fields and its problems, to read"),
    ("/schema", "The same for programs (OpenAPI 3.1, JSON)"),
    ("/schema/asyncapi.json", "What travels over NATS, for other systems and for workers in any language (AsyncAPI 3.0)"),
    ("/metrics", "Figures for Prometheus"),
)
_KEYED = (
    ("POST /api/kam/sources", "Upload a document (Markdown, text, HTML, PDF, DOCX) or a recording"),
    ("POST /api/kam/orders", "Order in one call; start_at says when, max_cost_usd for how much at most"),
    ("POST /api/kam/batches", "Order up to a thousand in one call"),
    ("POST /api/kam/schedules", "Order again and again"),
    ("GET /api/kam/requests", "What was ordered, and how far it is"),
    ("GET /api/kam/requests/{id}/events", "Live progress, as server-sent events"),
    ("GET /api/kam/requests/{id}/result", "What was made, and what it took"),
    ("GET /api/kam/templates", "What can be ordered, and with which parameters"),
    ("POST /api/kam/templates/{name}/simulate", "What an order would cost, and how long it would take"),
    ("GET /api/kam/usage", "What a month has taken: tokens, money, time"),
    ("GET /api/v1/ai/pipelines/budget/status", "What may still be spent"),
    ("GET /api/v1/ai/pipelines/{execution_id}/history", "All that is known of an execution"),
    ("POST /api/kam/pipelines", "Save a pipeline of your own"),
    ("GET /api/kam/keys", "The keys that your programs call with"),
    ("GET /api/kam/workers", "Who works here at this moment"),
    ("GET /worker-insights", "For operators: what the workers measured, and what could be better"),
)
STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6878; --line: #d9dfe6 }
:root { --paper: #fff; --tint: #f4f6f9; --link: #0b5cad }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #9aa7b6; --line: #303a46; --paper: #14191f; --tint: #1c232b; --link: #7db7ff }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 3rem 1.25rem }
h1 { margin: 0; font-size: 2rem; letter-spacing: -.01em } h2 { margin: 2.2rem 0 .6rem; font-size: 1.1rem }
p { margin: .4rem 0; color: var(--soft) } a { color: var(--link) }
dl { display: grid; grid-template-columns: minmax(0, 20rem) 1fr; row-gap: .45rem; margin: 0 }
dt, dd { margin: 0; padding-top: .45rem; border-top: 1px solid var(--line) } dd { color: var(--soft) }
code, pre { font: 14px/1.5 ui-monospace, monospace } dt code { overflow-wrap: anywhere }
pre { margin: 0; padding: .9rem 1rem; overflow-x: auto }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { border: 0; padding: 0 0 .45rem } }
"""


def policy_of(style: str) -> str:
    """The content security policy of a page that has this style, an icon written into it, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; frame-ancestors 'none'"


CONTENT_SECURITY_POLICY = policy_of(STYLE)


def landing_page(*, version: str, address: str) -> str:
    """The page as HTML. `address` is how the browser reached us, for commands to copy."""
    url = escape(address.rstrip("/"))
    opened = "".join(f'<dt><a href="{path}"><code>{path}</code></a></dt><dd>{words}</dd>' for path, words in _OPEN)
    keyed = "".join(f"<dt><code>{escape(route)}</code></dt><dd>{words}</dd>" for route, words in _KEYED)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>AI Factory</title><link rel="icon" href="data:,"><style>{STYLE}</style>
</head>
<body><main>
<h1>AI Factory</h1>
<p>A production line for AI work. Version {escape(version)}, and it runs.</p>
<h2>Order something</h2>
<pre>KEY=$(cat var/client.key)   # of make run; elsewhere your own
curl {url}/api/kam/sources -H "X-API-Key: $KEY" \\
  -F source=@samples/beekeeping.md
curl {url}/api/kam/orders -H "X-API-Key: $KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"selected_template": "content_granulation_course",
       "parameters": {{"source": "src_…"}}}}'</pre>
<h2>Open to everybody</h2>
<dl>{opened}</dl>
<h2>With your API key in the header <code>X-API-Key</code></h2>
<dl>{keyed}</dl>
</main></body>
</html>
"""
