// hepml-nb: final states of Sherpa events in a small binary file.
// Copyright (C) 2026 the hepml-nb developers
//
// This file links to Sherpa, which is licensed under the GNU General Public License, version 3; so this one file is
// free software under the GNU General Public License as published by the Free Software Foundation, version 3 of the
// License. It comes WITHOUT ANY WARRANTY. See https://www.gnu.org/licenses/gpl-3.0 for the text of the licence.
//
// SPDX-License-Identifier: GPL-3.0-only
//
// Layout, native byte order, per event: double weight, int32 n_hard, int32 n_final, then n_hard + n_final particles of
// int32 PDG code and float32 px, py, pz, E in GeV. "Hard" are the outgoing particles of the matrix element.

#include "ATOOLS/Org/Exception.H"
#include "ATOOLS/Phys/Blob_List.H"
#include "ATOOLS/Phys/Particle.H"
#include "SHERPA/Tools/Output_Base.H"

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace {

struct Entry {
  std::int32_t pdg;
  float px, py, pz, e;
};

class Final_State : public SHERPA::Output_Base {
public:
  explicit Final_State(const SHERPA::Output_Arguments &given)
      : Output_Base("HepmlNb"), m_file(given.m_outfile + ".bin", std::ios::binary)
  {
    if (!m_file) THROW(fatal_error, "cannot write " + given.m_outfile + ".bin");
  }

  void ChangeFile() override {}

  void Output(ATOOLS::Blob_List *blobs) override
  {
    ATOOLS::Blob *signal = blobs->FindFirst(ATOOLS::btp::Signal_Process);
    const double weight = (*signal)["WeightsMap"]->Get<ATOOLS::Weights_Map>().Nominal();
    m_entries.clear();
    for (int i = 0; i < signal->NOutP(); ++i) Add(signal->OutParticle(i));
    const std::int32_t hard = static_cast<std::int32_t>(m_entries.size());
    const ATOOLS::Particle_List active(blobs->ExtractParticles(ATOOLS::part_status::active));
    for (const ATOOLS::Particle *particle : active)
      if (particle->DecayBlob() == nullptr) Add(particle);
    const std::int32_t last = static_cast<std::int32_t>(m_entries.size()) - hard;
    Write(&weight, sizeof weight);
    Write(&hard, sizeof hard);
    Write(&last, sizeof last);
    Write(m_entries.data(), m_entries.size() * sizeof(Entry));
    if (!m_file) THROW(fatal_error, "cannot write an event: is the disk full?");
  }

private:
  std::ofstream m_file;
  std::vector<Entry> m_entries;

  void Add(const ATOOLS::Particle *particle)
  {
    const ATOOLS::Vec4D &p = particle->Momentum();
    m_entries.push_back({static_cast<std::int32_t>(static_cast<long int>(particle->Flav())),
                         static_cast<float>(p[1]), static_cast<float>(p[2]), static_cast<float>(p[3]),
                         static_cast<float>(p[0])});
  }

  void Write(const void *from, std::size_t size)
  {
    m_file.write(static_cast<const char *>(from), static_cast<std::streamsize>(size));
  }
};

} // namespace

DECLARE_GETTER(Final_State, "HepmlNb", SHERPA::Output_Base, SHERPA::Output_Arguments);

SHERPA::Output_Base *ATOOLS::Getter<SHERPA::Output_Base, SHERPA::Output_Arguments, Final_State>::operator()(
    const SHERPA::Output_Arguments &given) const
{
  return new Final_State(given);
}

void ATOOLS::Getter<SHERPA::Output_Base, SHERPA::Output_Arguments, Final_State>::PrintInfo(std::ostream &out,
                                                                                          const size_t) const
{
  out << "final states of hepml-nb";
}
