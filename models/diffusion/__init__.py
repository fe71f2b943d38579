"""What the diffusion papers share: schedules, samplers, pictures and the bound."""
