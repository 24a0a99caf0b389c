package images

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	pullsecrets "k8s.io/kubernetes/pkg/credentialprovider/secrets"

	"plimsoll.dev/scheduler/pkg/registry"
)

const (
	// mostSecrets of a pod are read, mostCredentials of them tried.
	mostSecrets, mostCredentials = 32, 10
	// largestSecret is what the API server accepts.
	largestSecret = 1 << 20
	// missingFor is how long the lack of a secret is believed, if that is
	// shorter than tagTTL: it is often created just after the pod.
	missingFor = time.Minute
	// secretLimit bounds the reading of one.
	secretLimit = 10 * time.Second
)

// secretKey names a secret.
type secretKey struct{ namespace, name string }

// pullSecret is a pull secret as it was read, or why it could not be.
type pullSecret struct {
	slot
	key secretKey
	// secret holds what kubelet's code needs, and nothing else. Empty if there
	// is none to use.
	secret  sealed[*v1.Secret]
	problem string
	// read is when that was, until how long it is believed.
	read, until time.Time
}

// forget implements forgetter.
func (p *pullSecret) forget(s *Store) { delete(s.pullSecrets, p.key) }

// credentials are those of the asker's pull secrets that match the repository,
// in kubelet's order: the most specific first. until is when they should be
// read again. Secrets that were read longer ago than oldest are read again now.
func (s *Store) credentials(ctx context.Context, who Asker, repository string, oldest time.Duration) (creds []*registry.Credential, problems []string, until time.Time) {
	until = s.clock.Now().Add(s.tagTTL)
	var read []v1.Secret
	for _, secret := range who.PullSecrets[:min(len(who.PullSecrets), mostSecrets)] {
		if secret == "" {
			continue // the API allows it, and kubelet ignores it
		}
		p := s.pullSecret(ctx, secretKey{who.Namespace, secret}, oldest)
		if p.problem != "" {
			problems = append(problems, fmt.Sprintf("pull secret %q: %s", who.Namespace+"/"+secret, p.problem))
		}
		if secret := p.secret.open(); secret != nil {
			read = append(read, *secret)
		}
		if p.until.Before(until) {
			until = p.until
		}
	}
	keyring, err := pullsecrets.MakeDockerKeyring(read, &credentialprovider.BasicDockerKeyring{})
	if err != nil { // each was decoded before
		return nil, append(problems, "the pull secrets do not combine"), until
	}
	found, _ := keyring.Lookup(repository)
	for _, f := range found {
		c := registry.Credential{Username: f.Username, Password: f.Password, IdentityToken: f.IdentityToken, RegistryToken: f.RegistryToken}
		isEqual := func(other *registry.Credential) bool { return *other == c }
		if c != (registry.Credential{}) && !slices.ContainsFunc(creds, isEqual) && len(creds) < mostCredentials {
			creds = append(creds, &c)
		}
	}
	return creds, problems, until
}

// pullSecret returns the secret as it was read at most that long ago, and no
// longer than tagTTL. Several who want the same one wait for one reading.
func (s *Store) pullSecret(ctx context.Context, key secretKey, oldest time.Duration) *pullSecret {
	s.mu.Lock()
	cached := s.pullSecrets[key]
	if now := s.clock.Now(); cached != nil && now.Before(cached.until) && now.Before(cached.read.Add(oldest)) {
		s.lru.touch(&cached.slot)
		s.mu.Unlock()
		return cached
	}
	s.mu.Unlock()
	read, _, _ := s.reading.Do(key.namespace+"/"+key.name, func() (any, error) {
		return s.readPullSecret(ctx, key, cached), nil
	})
	return read.(*pullSecret)
}

// readPullSecret asks the API server. If that fails for another reason than
// that there is no such secret, the one read before still serves.
func (s *Store) readPullSecret(ctx context.Context, key secretKey, old *pullSecret) *pullSecret {
	fresh := &pullSecret{key: key}
	lasts := s.tagTTL
	if invalid := content.IsPathSegmentName(key.name); len(invalid) > 0 {
		fresh.problem = "no secret can have this name"
	} else {
		limited, cancel := context.WithTimeout(ctx, secretLimit)
		secret, err := s.secrets(limited, key.namespace, key.name)
		cancel()
		switch {
		case err == nil && secret != nil:
			var kept *v1.Secret
			kept, fresh.problem = checkPullSecret(secret)
			fresh.secret = seal(kept)
		case err == nil || apierrors.IsNotFound(err):
			fresh.problem, lasts = "not found", min(s.tagTTL, missingFor)
		default:
			fresh.problem, lasts = unreadable(err), min(s.tagTTL, missingFor)
			klog.FromContext(ctx).V(2).Info("Could not read a pull secret", "secret", klog.KRef(key.namespace, key.name), "err", err)
			if old != nil {
				fresh.secret = old.secret
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh.read = s.clock.Now()
	fresh.until = fresh.read.Add(lasts)
	if last := s.pullSecrets[key]; last != nil {
		s.lru.remove(&last.slot)
	}
	bytes := secretBytes + int64(len(key.namespace)+len(key.name)+len(fresh.problem))
	if secret := fresh.secret.open(); secret != nil {
		for _, data := range secret.Data {
			bytes += int64(len(data))
		}
	}
	s.pullSecrets[key] = fresh
	s.lru.add(&fresh.slot, fresh, bytes)
	s.shrink()
	return fresh
}

// checkPullSecret decodes a secret as kubelet would, and keeps what can be
// used. What it says of the rest names keys and forms, never contents: even
// the decoder's own errors quote them.
func checkPullSecret(secret *v1.Secret) (*v1.Secret, string) {
	var key string
	var auths credentialprovider.DockerConfig
	var err error
	switch secret.Type {
	case v1.SecretTypeDockerConfigJson:
		key = v1.DockerConfigJsonKey
	case v1.SecretTypeDockercfg:
		key = v1.DockerConfigKey
	default:
		return nil, fmt.Sprintf("type %.80q; want %s or %s", secret.Type, v1.SecretTypeDockerConfigJson, v1.SecretTypeDockercfg)
	}
	data := secret.Data[key]
	if len(data) == 0 || len(data) > largestSecret {
		return nil, fmt.Sprintf("%s has %d bytes; want 1 to %d", key, len(data), largestSecret)
	}
	whole := credentialprovider.DockerConfigJSON{}
	if key == v1.DockerConfigJsonKey {
		err = json.Unmarshal(data, &whole)
		auths = whole.Auths
	} else {
		err = json.Unmarshal(data, &auths)
	}
	if err != nil {
		return nil, key + " " + decodeProblem(err)
	}
	problem := dropBadAddresses(key, auths)
	if len(auths) == 0 {
		return nil, cmp.Or(problem, key+" names no registry")
	}
	if problem != "" {
		if data, err = encode(key, auths); err != nil {
			return nil, problem
		}
	}
	return &v1.Secret{Type: secret.Type, Data: map[string][]byte{key: data}}, problem
}

// decodeProblem says where, not what.
func decodeProblem(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("is not JSON from byte %d on", syntax.Offset)
	}
	return `is not of the form {"auths": {"<registry>": {"auth": "<base64 of user:password>"}}} (without the "auths" around it in a .dockercfg)`
}

// dropBadAddresses removes the entries that kubelet's code would log in full,
// and ignore.
func dropBadAddresses(key string, auths credentialprovider.DockerConfig) (problem string) {
	for address := range auths {
		full := address
		if !strings.HasPrefix(full, "https://") && !strings.HasPrefix(full, "http://") {
			full = "https://" + full
		}
		if _, err := url.Parse(full); err != nil {
			delete(auths, address)
			problem = key + " has an entry whose name is no registry address"
		}
	}
	return problem
}

func encode(key string, auths credentialprovider.DockerConfig) ([]byte, error) {
	if key == v1.DockerConfigKey {
		return json.Marshal(auths)
	}
	return json.Marshal(credentialprovider.DockerConfigJSON{Auths: auths})
}

// basicAuth is how the credential looks in a header.
func basicAuth(c *registry.Credential) string {
	if c.Password == "" {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
}

// unreadable says why a secret could not be read, to the pod's owner: the API
// server's own words name addresses and accounts.
func unreadable(err error) string {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return "the scheduler may not read it"
	}
	return "it cannot be read now"
}
