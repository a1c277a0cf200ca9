#!/usr/bin/env python3
"""Ask the search of the built site what people ask, and fail unless each answer is among the first three results.

    python3 tools/docs_search.py                            each of QUESTIONS, after `make docs`
    python3 tools/docs_search.py rotate the certificate     show the results of one query

A result is a page with its best section, as the site's search box shows it. This ranks as the theme's script does
(lunr 2.3 with b=0, each word a prefix), so it needs no browser. It knows no operators, such as quotation marks or `+`.
Standard library only.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "build" / "site"
#: The largest acceptable position of an answer.
MOST = 3
#: What people type, and the sections or pages that answer it.
QUESTIONS = {
    ("install", "how to install with pip"): "faq.html#how-do-i-install-it",
    ("does it support Airflow 2", "python versions"): "faq.html#which-airflow-and-python-versions-does-it-support",
    ("certificate rotation", "key expires"): "faq.html#how-do-i-rotate-the-certificate-and-key-before-they-expire",
    ("keep backups for 30 days", "delete old backups"): (
        "faq.html#how-do-i-keep-backups-for-30-days-and-delete-older-ones"
    ),
    ("time zone of retention",): "faq.html#which-time-zone-do-retention-rules-use",
    ("where does the password of a snapshot come from",): "faq.html#where-does-the-password-of-a-snapshot-come-from",
    ("restore approval", "approve a restore"): "faq.html#how-do-i-require-an-approval-before-a-restore",
    ("AWS secrets manager", "GCP secret manager", "azure key vault", "put connection in vault"): (
        "faq.html#how-do-i-store-the-connection-in-a-secrets-backend-aws-google-azure-hashicorp-vault"
    ),
    ("Test button disabled",): "faq.html#why-is-the-test-button-of-the-connection-disabled",
    ("private endpoint", "OAC in a private network"): "faq.html#does-it-work-with-a-private-endpoint-or-network",
    ("mwaa", "cloud composer", "astronomer", "run on Astro"): (
        "faq.html#does-it-work-with-managed-airflow-mwaa-composer-astronomer"
    ),
    ("do I need a triggerer",): "faq.html#do-i-need-a-triggerer",
    ("pool deferred tasks",): "operators.html#pools-and-deferred-tasks",
    ("do deferred tasks use a pool slot",): "faq.html#do-deferred-tasks-use-a-slot-of-their-pool",
    ("ds undefined manual run", "'ds' is undefined"): "faq.html#why-is-ds-undefined-in-a-manual-run",
    ("two DAGs one snapshot", "share a snapshot between DAGs"): "faq.html#how-do-two-dags-share-one-snapshot",
    ("call OAC from @task", "use the hook in a python task"): (
        "faq.html#how-do-i-call-oac-from-my-own-task-with-the-hook"
    ),
    ("export with filters",): "faq.html#can-a-workbook-export-have-filters-or-parameters",
    ("which OCI policies",): "faq.html#which-oci-policies-do-i-need-for-the-bucket",
    ("bucket policy",): "security.html#bucket-policies",
    ("curl script to DAG",): "coming-from/curl.html",
    ("SQL query to parquet",): "faq.html#how-do-i-write-the-result-of-a-sql-query-to-parquet",
    ("wait until data is fresh",): "faq.html#how-do-i-wait-until-data-is-fresh",
    ("send PDF to Slack",): "faq.html#how-do-i-send-a-pdf-to-slack",
    ("test my DAG", "unit test with pytest"): "testing-your-dags.html",
    ("what does the OAC console show",): "faq.html#does-oacs-console-show-these-snapshots",
    # A guide stays first for its own name, whatever the FAQ says.
    ("snapshots",): "snapshots.html",
    ("restore",): "restore.html",
    ("export workbook",): "exports.html",
    ("error messages",): "errors.html",
}


class Search:
    """The index of the site, and its ranking."""

    def __init__(self, site: Path) -> None:
        index = json.loads((site / "search" / "search_index.json").read_text())
        script = next((site / "assets" / "javascripts" / "workers").glob("search.*.min.js")).read_text()
        stop_words = re.search(r'\["a","able",.*?]', script)
        if index["config"]["pipeline"] != ["stopWordFilter"] or not stop_words:
            raise SystemExit("The theme's search works in another way now: adapt tools/docs_search.py.")
        self.stop_words = set(json.loads(stop_words[0]))
        self.separator = re.compile(index["config"]["separator"])
        fields = {name: index["config"]["fields"][name]["boost"] for name in ("title", "text")}
        counts = {
            (doc["location"], name): Counter(word for word in self.words(doc[name]) if word not in self.stop_words)
            for doc in index["docs"]
            for name in fields
        }
        found = Counter(word for words in counts.values() for word in words)
        total = len(index["docs"])
        #: For each word, its weight in each document.
        self.weights: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for doc in index["docs"]:
            for name, boost in fields.items():
                for word, often in counts[doc["location"], name].items():
                    rarity = math.log(1 + abs((total - found[word] + 0.5) / (found[word] + 0.5)))
                    weight = rarity * 2.2 * often / (1.2 + often) * boost * doc.get("boost", 1)
                    self.weights[word][doc["location"]] += weight

    def words(self, html: str) -> list[str]:
        parts = (part for text in re.split(r"<[^>]*>", html) for part in self.separator.split(text))
        return [part.lower() for part in parts if part]

    def results(self, query: str) -> list[list[str]]:
        """Return the results, best first: for each page its location, if it matches best, and its best sections."""
        terms = set(self.words(query))
        scores: dict[str, float] = defaultdict(float)
        matched: dict[str, set[str]] = defaultdict(set)
        for word, weights in self.weights.items():
            starts = {term for term in terms if word.startswith(term)}
            for location, weight in weights.items() if starts else ():
                scores[location] += weight * len(starts)
                matched[location] |= starts
        for location, found in matched.items():
            part = len(found) / len(found | (terms - self.stop_words))
            scores[location] *= 1 + (part + ("#" not in location)) ** 2
        pages: dict[str, list[str]] = {}
        for location, score in sorted(scores.items(), key=lambda item: -item[1]):
            shown = pages.setdefault(location.partition("#")[0], [])
            if not shown or score == scores[shown[0]]:
                shown.append(location)
        return list(pages.values())


def main() -> int:
    search = Search(SITE)
    if len(sys.argv) > 1:
        for number, shown in enumerate(search.results(" ".join(sys.argv[1:]))[:10], 1):
            print(f"{number:2} {' '.join(shown)}")
        return 0
    missed = []
    for queries, answer in QUESTIONS.items():
        for query in queries:
            first = search.results(query)[:MOST]
            # The link to a page is always there; one to a section only if the section matches best.
            if not any(answer in shown or shown[0].partition("#")[0] == answer for shown in first):
                missed.append(f"{query!r} does not find {answer}, but {first}")
    print(*missed, f"{sum(map(len, QUESTIONS))} questions, {len(missed)} without an answer", sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
