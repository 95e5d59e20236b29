"""Answers to the exercises of notebook 09, right ones in other forms and wrong ones."""

import numpy as np
import pytest
import sympy
import torch

from tests.exercises.judging import is_solved, is_wrong

a, b, x, y, w, yhat, z1, z2 = sympy.symbols("a b x y w yhat z1 z2")
P = 1 / (1 + sympy.exp(-(w * x + b)))
LOG_LOSS = -(y * sympy.log(P) + (1 - y) * sympy.log(1 - P))
SOFTMAX_LOSS = -sympy.log(sympy.exp(z1) / (sympy.exp(z1) + sympy.exp(z2)))


def by_einsum(X, w, y):
    return 2 * torch.einsum("ij,i->j", X, X @ w - y)


def by_loop(X, w, y):
    s = [sum(X[i, j] * w[j] for j in range(len(w))) - y[i] for i in range(len(y))]
    return [sum(2 * s[i] * X[i, j] for i in range(len(y))) for j in range(len(w))]


def by_numpy(X, w, y):
    X, w, y = X.numpy(), w.numpy(), y.numpy()
    return 2 * (X @ w - y) @ X


def of_last_sample(X, w, y):
    return 2 * X[-1] * (X[-1] @ w - y[-1])


def without_transposing(X, w, y):
    return 2 * X @ (X @ w - y)


RIGHT = [
    ("4.2", {"dw": 2, "db": 2.0}),
    ("4.2", {"dw": "2x(w x + b - y)", "db": lambda x, y, w, b: 2 * (w * x + b - y)}),
    ("4.4", {"dw1": "2x(yhat - y)", "dw2": "2 x^2 (x^2 w2 + x w1 + b - y)"}),
    ("4.4", {"dw1": 2 * (yhat - y) * x, "dw2": lambda yhat, y, x: 2 * (yhat - y) * x * x}),
    ("9a", {"da": 0.0625, "da_formula": "1/s - a/s^2", "db_formula": "-q/s"}),
    (
        "9a",
        {
            "da": "1/16",
            "da_formula": sympy.diff(a / (a + b), a),
            "db_formula": lambda a, b: -a / (a + b) ** 2,
        },
    ),
    ("9b", {"da4": 12, "db4": 0, "da8": 8.0, "db8": torch.tensor(3.0)}),
    ("9c", {"dw1": 24, "dw2": 4, "dw1_off": 0, "dw2_off": 0.0}),
    (
        "9c",
        {
            "dw1": "2 (w2 relu(w1 x) - y) w2 x",
            "dw2": "2 * (w2 * w1 * x - y) * w1 * x",
            "dw1_off": -0.0,
            "dw2_off": 0,
        },
    ),
    (
        "9d",
        {"dz": "sigmoid(w x + b) - y", "dw": sympy.diff(LOG_LOSS, w), "db": "1/(1 + exp(-z)) - y"},
    ),
    ("9d", {"dz": lambda p, y: p - y, "dw": "p x - y x", "db": "-y (1 - p) + (1 - y) p"}),
    ("9e", {"dz1": "-p2", "dz2": "1 - p1"}),
    (
        "9e",
        {
            "dz1": sympy.diff(SOFTMAX_LOSS, z1),
            "dz2": lambda z1, z2: np.exp(z2) / (np.exp(z1) + np.exp(z2)),
        },
    ),
    *(("9f", {"gradient": function}) for function in (by_einsum, by_loop, by_numpy)),
]
WRONG = [
    ("4.2", {"dw": -2, "db": -2}),
    ("4.2", {"dw": "2 * (w * x - y)", "db": "w * x + b - y"}),
    ("4.4", {"dw1": "2 * (y - yhat) * x", "dw2": "2 * (y - yhat) * x**2"}),
    ("4.4", {"dw1": "2 * (yhat - y)", "dw2": "2 * (yhat - y) * 2 * x"}),
    ("9a", {"da": 0.25, "da_formula": "1 / (a + b)", "db_formula": "a / (a + b)**2"}),
    ("9a", {"da": -3 / 16, "da_formula": "1", "db_formula": "-1 / (a + b)**2"}),
    ("9a", {"da": 0.75, "da_formula": 1 / 16, "db_formula": -3 / 16}),
    ("9b", {"da4": 6, "db4": 3, "da8": 14, "db8": 0}),
    ("9b", {"da4": 18, "db4": 1, "da8": 12, "db8": 8}),
    ("9c", {"dw1": 8, "dw2": 8, "dw1_off": 24, "dw2_off": 4}),
    ("9c", {"dw1": 12, "dw2": 2, "dw1_off": -12, "dw2_off": -2}),
    ("9c", {"dw1": "2 * (yhat - y) * w2", "dw2": "2 * (yhat - y) * w1", "dw1_off": 12}),
    ("9d", {"dz": "y - p", "dw": "(y - p) * x", "db": "(p - y) * x"}),
    ("9d", {"dz": "p * (1 - p)", "dw": "(p - y) * p * (1 - p) * x", "db": 0.5}),
    ("9e", {"dz1": "p1", "dz2": "p1"}),
    ("9e", {"dz1": "1 - p1", "dz2": "p2 - 1"}),
    ("9e", {"dz1": "-1 / p1", "dz2": "exp(z2)"}),
    ("9f", {"gradient": of_last_sample}),
    ("9f", {"gradient": without_transposing}),
    ("9f", {"gradient": lambda X, w, y: X.T @ (X @ w - y)}),
    ("9f", {"gradient": 2}),
]


@pytest.mark.parametrize(("exercise", "answers"), RIGHT)
def test_right(exercise, answers):
    assert is_solved(exercise, answers)


@pytest.mark.parametrize(("exercise", "answers"), WRONG)
def test_wrong(exercise, answers):
    assert is_wrong(exercise, answers)
