"""MPII's 16 joints."""

from hg_jax.base.skeleton import SKELETON

__all__ = ['SKELETON']
