#!/usr/bin/env bash
# Makes the topics that VSS has, with its 8 partitions and 4 hours, where they are missing.
set -euo pipefail
for topic in mdx-incidents mdx-alerts mdx-vlm-incidents mdx-vlm-alerts mdx-vlm-dead-letters; do
  kafka-topics --bootstrap-server "${KAFKA:-kafka:9092}" --create --if-not-exists --topic "$topic" \
    --partitions 8 --replication-factor 1 --config retention.ms=14400000
done
