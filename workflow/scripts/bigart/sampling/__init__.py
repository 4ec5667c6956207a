"""From noise to candidates: schedules, samplers, noise. A change here repaints."""
