"""Engines beyond one machine: each keeps N copies of one worker alive; the workers pull their trials from the storage."""
