"""What a scanner found in an image: the files of Trivy and Grype (JSON), and of any scanner that writes SARIF."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.policy.packaging import Vulnerabilities
from slipway.report import Check, Column, Table, Verdict
from slipway.runner.errors import InputError

SEVERITIES = ("unknown", "low", "medium", "high", "critical")
SAME = {"negligible": "low", "none": "low", "moderate": "medium", "important": "high", "": "unknown"}
LEVELS = {"error": "high", "warning": "medium", "note": "low", "none": "low"}
"""SARIF's own levels, where a rule has no score."""

MOST_BYTES = 200 * 2**20
SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One vulnerability of one package."""

    id: str
    severity: str
    package: str = ""
    fixed_in: str = ""


@dataclass(frozen=True)
class Scan:
    """What a file says. images: digests of the image that was scanned; none where the file does not name it."""

    scanner: str
    findings: tuple[Finding, ...]
    images: frozenset[str] = frozenset()


def read(path: Path) -> Scan:
    """Read a scanner's file. InputError where it is none of the three."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        said = json.loads(path.read_bytes())
        if "runs" in said and "matches" not in said:
            return _sarif(said)
        if "matches" in said:
            return _grype(said)
        if said.get("SchemaVersion") == 2 and "ArtifactName" in said:
            return _trivy(said)
        raise ValueError("it is neither Trivy's or Grype's JSON nor SARIF")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The scanner's file {path} cannot be read.",
            why=f"{type(error).__name__}: {str(error)[:300]}",
            fix="Have the scanner write `--format json` or SARIF, and give that file as `scan-report`.",
        ) from error


def judge(scan: Scan | None, rules: Vulnerabilities, digest: str, config_digest: str) -> Check:
    """What the findings mean for the image with these digests, of its manifest and its configuration.

    A finding without a severity leaves the verdict open: nobody knows how bad it is. InputError where the findings are
    of another image.
    """
    if scan is None:
        detail = "No scanner's file was given (`scan-report`), and the policy requires one."
        return Check(name="vulnerabilities", verdict=Verdict.INCONCLUSIVE, detail=detail)
    if scan.images and not scan.images & {digest, config_digest}:
        raise InputError(
            "The scanner's file is of another image.",
            why=f"It is of {', '.join(sorted(scan.images))}; this image is {digest} ({config_digest}).",
            fix="Scan the archive that this stage leaves with `push: false`, in the same job.",
        )
    counted = [each for each in scan.findings if each.id not in rules.ignore]
    worst = SEVERITIES.index(rules.fail_from)
    bad = [each for each in counted if SEVERITIES.index(each.severity) >= worst]
    open_ = [each for each in counted if each.severity == "unknown"]
    verdict = Verdict.FAIL if bad else Verdict.INCONCLUSIVE if open_ else Verdict.PASS
    ignored = len(scan.findings) - len(counted)
    detail = f"{scan.scanner}: {len(bad)} of {len(counted)} findings are {rules.fail_from} or worse"
    detail += f", {len(open_)} have no severity" * bool(open_) + f", {ignored} are ignored by the policy" * bool(
        ignored
    )
    detail += "." if scan.images else "; the file does not say of which image it is."
    return Check(
        name="vulnerabilities", verdict=verdict, detail=detail, count=len(bad), examples=tuple(map(_shown, bad[:SHOWN]))
    )


def table(scan: Scan, rules: Vulnerabilities) -> Table:
    """The worst findings, worst first."""
    counted = [each for each in scan.findings if each.id not in rules.ignore]
    ordered = sorted(counted, key=lambda each: (-SEVERITIES.index(each.severity), each.id, each.package))
    columns = (Column(name="finding", kind="code"), Column(name="severity"), Column(name="package", kind="code"))
    rows = tuple((each.id, each.severity, each.package, each.fixed_in or "–") for each in ordered[:SHOWN])
    note = f"{len(ordered) - SHOWN} more are in the scanner's file." if len(ordered) > SHOWN else ""
    return Table(
        title="Vulnerabilities",
        columns=(*columns, Column(name="fixed in", kind="code")),
        rows=rows,
        note=note,
        folded=True,
    )


def _shown(each: Finding) -> str:
    return f"{each.id} ({each.severity}) in {each.package or 'the image'}"


def _severity(text: Any) -> str:
    found = str(text or "").lower()
    found = SAME.get(found, found)
    return found if found in SEVERITIES else "unknown"


def _trivy(said: Any) -> Scan:
    """https://trivy.dev/docs/latest/configuration/reporting/"""
    findings = []
    for result in said.get("Results") or []:
        for each in result.get("Vulnerabilities") or []:
            package = f"{each.get('PkgName', '')} {each.get('InstalledVersion', '')}".strip()
            fixed = str(each.get("FixedVersion") or "")
            findings.append(Finding(str(each["VulnerabilityID"]), _severity(each.get("Severity")), package, fixed))
    known = said.get("Metadata") or {}
    digests = {str(known.get("ImageID") or ""), *(each.rpartition("@")[2] for each in known.get("RepoDigests") or [])}
    return Scan("Trivy", tuple(findings), frozenset(digests - {""}))


def _grype(said: Any) -> Scan:
    """https://github.com/anchore/grype/blob/main/README.md#output-formats"""
    findings = []
    for match in said["matches"]:
        vulnerability, artifact = match["vulnerability"], match["artifact"]
        package = f"{artifact.get('name', '')} {artifact.get('version', '')}".strip()
        fixed = ", ".join(map(str, (vulnerability.get("fix") or {}).get("versions") or []))
        findings.append(Finding(str(vulnerability["id"]), _severity(vulnerability.get("severity")), package, fixed))
    target = (said.get("source") or {}).get("target")
    known = target if isinstance(target, dict) else {}
    digests = {str(known.get(name) or "") for name in ("imageID", "manifestDigest")}
    return Scan("Grype", tuple(findings), frozenset(digests - {""}))


def _sarif(said: Any) -> Scan:
    """https://docs.oasis-open.org/sarif/sarif/v2.1.0/; a rule's `security-severity` is its CVSS score, 0 to 10."""
    findings: list[Finding] = []
    names = []
    for run in said["runs"]:
        driver = run["tool"]["driver"]
        names.append(str(driver.get("name", "a scanner")))
        rules = {str(rule["id"]): rule for rule in driver.get("rules") or []}
        findings += _results(run.get("results") or [], rules)
    return Scan(", ".join(dict.fromkeys(names)), tuple(findings))


def _results(results: list[Any], rules: dict[str, Any]) -> Iterator[Finding]:
    for each in results:
        name = str(each.get("ruleId") or (each.get("rule") or {}).get("id") or "")
        rule = rules.get(name, {})
        score = (rule.get("properties") or {}).get("security-severity")
        level = each.get("level") or (rule.get("defaultConfiguration") or {}).get("level")
        yield Finding(name, _by_score(score) if score is not None else LEVELS.get(str(level), "unknown"))


def _by_score(score: Any) -> str:
    """Severity of a CVSS score: https://www.first.org/cvss/v3.1/specification-document#Qualitative-Severity-Rating-Scale"""
    value = float(score)
    for limit, name in ((9.0, "critical"), (7.0, "high"), (4.0, "medium")):
        if value >= limit:
            return name
    return "low" if value >= 0 else "unknown"
