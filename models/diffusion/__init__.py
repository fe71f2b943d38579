"""What the diffusion papers share: schedules, the forward process, samplers, denoising, the bound."""
