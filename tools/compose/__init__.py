"""Test of docker-compose.yml in containers: `make test-compose`."""
