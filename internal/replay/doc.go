// Package replay replays a trace such as Alibaba's openb (internal/openb) through
// the real scheduling framework in memory (internal/offline): the profile that is
// shipped, upstream's default one, MostAllocated, or any other.
//
//	Fill     pods arrive one by one until they have asked for a multiple of the
//	         GPUs; none leaves. What is left of the GPUs that nobody got?
//	Churn    pods come and go. What share of the GPU asked for is granted?
//	Compact  without GPUs. On how few nodes does the whole list still fit?
//
// A pod is created, tried once and, if it fits, bound to one of its best nodes,
// chosen at random as upstream does. A seed decides that and the order of arrival:
// the same input and seed give the same outcome.
package replay
