# Install Debian packages, and keep neither the lists nor the archives.
set -e
apt-get update -q
apt-get install -yq --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/* /var/cache/apt/*
