"""docker-compose.yml in containers: `make test-compose`."""
