"""Demo raw data in the exact layout of Hypersim: four furnished rooms, ray traced.

from tessera.pipelines.demo.hypersim import generate
generate(Path("raw"), scale="small")
"""

from .produce import generate

__all__ = ["generate"]
