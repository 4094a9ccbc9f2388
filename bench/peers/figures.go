package main

import (
	"fmt"
	"slices"
)

// spread is a figure over the rounds.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return spread{}
	}
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{low: sorted[0], median: median, high: sorted[len(sorted)-1]}
}

func (s spread) String() string {
	return fmt.Sprintf("%s (%s–%s)", number(s.median), number(s.low), number(s.high))
}

// number writes a figure with as many digits as it is worth.
func number(v float64) string {
	switch {
	case v >= 99.5 || v <= -99.5:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.95 || v <= -9.95:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.0995 || v <= -0.0995:
		return fmt.Sprintf("%.2f", v)
	case v >= 0.00995 || v <= -0.00995:
		return fmt.Sprintf("%.3f", v)
	case v == 0:
		return "0"
	default:
		return fmt.Sprintf("%.4f", v)
	}
}
