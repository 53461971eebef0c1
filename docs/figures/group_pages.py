"""The pictures of the pages on groups. Run it to write them beside this file."""

import pathlib

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from equinet.groups import SL, SO, Dihedral, GLPlus, Lorentz, Scalings, Similitudes
from equinet.groups.cayley import cayley_graph, cayley_growth

matplotlib.use("svg")
import matplotlib.pyplot as plt

plt.rcParams |= {"svg.hashsalt": "equinet", "font.size": 10, "svg.fonttype": "path"}
BLUE, RED = "#2b6cb0", "#c53030"
HERE = pathlib.Path(__file__).parent
LETTER = np.array([[0, 0], [0, 2], [1.2, 2], [1.2, 1.6], [0.4, 1.6], [0.4, 1.2], [0.9, 1.2]])
LETTER = np.concatenate([LETTER, [[0.9, 0.8], [0.4, 0.8], [0.4, 0]]]) - [0.5, 1.0]


def save(figure, name):
    """Writes a figure as SVG without a date."""
    figure.savefig(HERE / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def letters(ax, group, elements, title):
    """The letter F under group elements, the last one filled."""
    for k, g in enumerate(elements):
        moved = np.asarray(group.act(g, jnp.asarray(LETTER)))
        last = k == len(elements) - 1
        ax.fill(*moved.T, fc=BLUE if last else "none", ec=BLUE, lw=0.8, alpha=0.9 if last else 0.5)
    ax.set(title=title, aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def linear():
    """Random elements of groups of matrices."""
    figure, axes = plt.subplots(1, 4, figsize=(9, 2.5))
    for ax, group in zip(axes, (Scalings(2), Similitudes(2), SL(2), GLPlus(2)), strict=True):
        letters(ax, group, group.sample(jax.random.key(3), (5,), scale=0.4), str(group))
    save(figure, "group_linear")


def finite():
    """All elements of a dihedral group."""
    figure, axes = plt.subplots(1, 8, figsize=(9, 1.4))
    for k, ax in enumerate(axes):
        letters(ax, Dihedral(4), jnp.asarray([k]), str(k))
    save(figure, "group_finite")


def rotations():
    """Where rotations of Haar measure send the pole, and the density of their angles."""
    g = SO(3).sample(jax.random.key(0), (2000,))
    poles = np.asarray(g[:, :, 2])
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8))
    front = poles[poles[:, 1] > 0]
    left.scatter(front[:, 0], front[:, 2], s=2, color=BLUE)
    left.set(title="images of the north pole", aspect="equal", xticks=[], yticks=[])
    left.spines[:].set_visible(False)
    angles = np.linalg.norm(SO(3).log_coordinates(g), axis=-1)
    right.hist(angles, 30, density=True, color=BLUE, alpha=0.6)
    t = np.linspace(0, np.pi, 100)
    right.plot(t, (1 - np.cos(t)) / np.pi, color=RED, label=r"$(1 - \cos\theta) / \pi$")
    right.set(title="rotation angles", xlabel=r"$\theta$ in radians")
    right.legend(frameon=False)
    save(figure, "group_orthogonal")


def boosts():
    """Orbits of boosts: hyperbolas of constant mass."""
    figure, ax = plt.subplots(figsize=(3.6, 3))
    rapidities = np.linspace(-1.4, 1.4, 61)
    boosts = Lorentz().exp_coordinates(jnp.asarray(rapidities)[:, None] * jnp.eye(6)[:1])
    for mass in (0.5, 1.0, 1.5):
        orbit = np.asarray(Lorentz().act(boosts, jnp.asarray([mass, 0.0, 0.0, 0.0])))
        ax.plot(orbit[:, 1], orbit[:, 0], color=BLUE)
        ax.plot(*orbit[::10, 1::-1].T, "o", color=RED, ms=3)
    ax.plot([-3, 0, 3], [3, 0, 3], "--", color="gray", lw=0.8)
    ax.set(xlabel="x", ylabel="t", xlim=(-3, 3), ylim=(0, 3), aspect="equal")
    save(figure, "group_form")


def growth():
    """Layer sizes of Cayley graphs of S(7)."""
    figure, ax = plt.subplots(figsize=(4.5, 2.8))
    for family in ("lrx", "coxeter", "pancake", "all_transpositions"):
        ax.plot(cayley_growth(cayley_graph(family, 7)).layers, ".-", label=family)
    ax.set(xlabel="distance from the identity", ylabel="permutations", yscale="log")
    ax.legend(frameon=False)
    save(figure, "group_cayley")


if __name__ == "__main__":
    for draw in (linear, finite, rotations, boosts, growth):
        draw()
