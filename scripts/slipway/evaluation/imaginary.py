"""Imaginary rows beside the real ones: how labels of few rows are kept from being taken for certain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slipway.evaluation.outcomes import Binary, Multiclass, Multilabel, Outcome


def with_imaginary_rows(outcome: Outcome, right: Sequence[bool]) -> Binary | Multiclass | Multilabel:
    """The labels with `len(right)` rows added to each class, called right or wrong as `right` says.

    Labels of few rows often show no error, or no disagreement, in a class; the formulas would take that for certainty.
    The standard error is therefore taken with these rows added. The value itself stays the rows' own.
    """
    if isinstance(outcome, Binary):
        truth = np.repeat([False, True], len(right))
        label = truth == np.tile(right, 2)
        truths, labels = np.concatenate([outcome.truth, truth]), np.concatenate([outcome.label, label])
        return Binary(truths, labels, costs=outcome.costs)
    if isinstance(outcome, Multilabel):
        return _multilabel_with_imaginary_rows(outcome, right)
    assert isinstance(outcome, Multiclass)
    classes = np.unique(outcome.truth)
    wrong = np.roll(classes, 1) if len(classes) > 1 else (classes + 1) % outcome.classes
    said = np.where(right, classes[:, None], wrong[:, None]).ravel()
    truths = np.concatenate([outcome.truth, np.repeat(classes, len(right))])
    return Multiclass(truths, np.concatenate([outcome.label, said]), outcome.classes)


def _multilabel_with_imaginary_rows(outcome: Multilabel, right: Sequence[bool]) -> Multilabel:
    """Each label gets its rows; where the holdout is small, several labels share them.

    A row to each label would be as many as the rows themselves where labels are many, and dilute a mean over rows.
    """
    groups = min(outcome.labels, max(1, len(outcome) // 200))
    has_label = np.arange(outcome.labels) % groups == np.arange(groups)[:, None]
    truth = np.concatenate([np.repeat(has_label, len(right), axis=0), np.zeros((groups * len(right), outcome.labels))])
    wrong = np.tile(~np.array(right), 2 * groups)[:, None] & np.tile(np.repeat(has_label, len(right), axis=0), (2, 1))
    truths = np.concatenate([outcome.truth, truth.astype(bool)])
    return Multilabel(truths, np.concatenate([outcome.label, truth.astype(bool) ^ wrong]))
