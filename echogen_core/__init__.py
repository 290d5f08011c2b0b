"""EchoGen: subject-driven pictures by next-scale prediction of bits. Framework-free core.

Source of the method: "EchoGen: Generating Visual Echoes in Any Scene via Feed-Forward
Subject-Driven Auto-Regressive Model" (ICLR 2026, arXiv 2509.26127), on Infinity (arXiv 2412.04431).
"""
