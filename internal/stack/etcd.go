package stack

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// etcdQuotaBytes is far above what a stack writes: hitting the quota makes etcd read-only.
	etcdQuotaBytes = 8 << 30
	// A lone member elects itself after one election timeout, so short ones only save start-up time.
	etcdTickMilliseconds     = 20
	etcdElectionMilliseconds = 200
	// maxSocketPath is the shortest limit on the path of a unix socket among systems we run on (darwin).
	maxSocketPath = 103
)

// datastore is a running single-member etcd.
type datastore struct {
	etcd *embed.Etcd
	// endpoint is what clients dial: unix:///…/etcd.sock or http://127.0.0.1:port.
	endpoint string
}

// startEtcd runs a throwaway etcd: nothing is synced to disk.
func (s *Stack) startEtcd(ctx context.Context, _ Options) error {
	cfg, listen := etcdConfig(s.dir)
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	s.onStop("etcd", func(ctx context.Context) error {
		return await(ctx, inBackground(etcd.Close))
	})
	s.store = &datastore{etcd: etcd, endpoint: "unix://" + listen.Path}
	if listen.Scheme != "unix" {
		s.store.endpoint = "http://" + etcd.Clients[0].Addr().String()
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return nil
	case err := <-etcd.Err():
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the member to serve: %w", context.Cause(ctx))
	}
}

// etcdConfig returns the configuration and the URL clients are served on. That is a socket inside the
// closed folder, out of reach of other users; where the folder's path is too long for a socket, it is a
// loopback port the kernel picks, which has no such protection.
func etcdConfig(dir string) (*embed.Config, url.URL) {
	loopback := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	listen := loopback
	if socket := filepath.Join(dir, "etcd.sock"); len(socket) <= maxSocketPath {
		listen = url.URL{Scheme: "unix", Path: socket}
	}

	cfg := embed.NewConfig()
	cfg.Name = "plimsoll"
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.ListenClientUrls = []url.URL{listen}
	cfg.ListenPeerUrls = []url.URL{loopback}
	// Nobody dials these two: there is one member, and our client is told its endpoint. They must
	// only look like host and port.
	cfg.AdvertiseClientUrls = []url.URL{loopback}
	cfg.AdvertisePeerUrls = []url.URL{loopback}
	cfg.InitialCluster = cfg.Name + "=" + loopback.String()

	cfg.UnsafeNoFsync = true
	cfg.QuotaBackendBytes = etcdQuotaBytes
	cfg.TickMs, cfg.ElectionMs = etcdTickMilliseconds, etcdElectionMilliseconds
	cfg.EnableGRPCGateway = false // it would dial the client URL over TCP
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(fatalOnlyLogger())
	return cfg, listen
}

// fatalOnlyLogger is silent but for what ends the process: etcd panics and exits through its logger, and
// a process that vanishes without a word cannot be debugged.
func fatalOnlyLogger() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zapcore.DPanicLevel))
}
