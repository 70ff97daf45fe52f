"""What netopsd shows: /metrics, health, the HTTP API and two small pages."""
