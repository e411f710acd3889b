"""Recipes of the benchmarks' own; found through TESSERA_RECIPES, which names this folder."""

from pathlib import Path

RECIPES = Path(__file__).parent
